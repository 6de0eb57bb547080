"""What a bad day does to saved work: processes that are killed, full disks, folders that vanish, clocks that jump."""
