"""Where studies are kept: opening a storage, finding studies in it, leasing them to a process."""
