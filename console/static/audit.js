// Looks again while a verification runs; without this script the page refreshes itself.
"use strict";
setTimeout(() => location.reload(), 2000);
