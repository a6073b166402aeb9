"""What MySQL and MariaDB do differently."""
