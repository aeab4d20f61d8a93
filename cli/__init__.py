"""The `veiljoin` command: reads arguments, prints results, shows each error as one sentence and one hint."""
