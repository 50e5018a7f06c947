"""What `graph` checks beyond artifact kinds, one question a file. Each check adds what is wrong to the problems."""
