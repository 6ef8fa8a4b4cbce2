"""What browsers reach: one process that web pages come to, whichever hub of the farm they are to enter."""
