"""Where code runs: ``base`` says what a kernel is, ``local`` is one on this machine."""
