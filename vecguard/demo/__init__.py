"""The demo: synthetic sensitive notes, stored with and without VecGuard, then stolen and attacked."""
