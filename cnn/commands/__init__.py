"""What the command line shows that is no step of a night: leaderboard, description, status, health, web pages."""
