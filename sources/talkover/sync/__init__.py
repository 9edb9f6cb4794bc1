"""The dlt source: listings compared with what the destination holds, and the rows that each table is sent."""
