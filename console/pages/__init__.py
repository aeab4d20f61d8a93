"""The pages, one router per feature. What they show comes from the feature's module one level up."""
