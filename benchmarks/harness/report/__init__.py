"""What people see: tables and the page."""
