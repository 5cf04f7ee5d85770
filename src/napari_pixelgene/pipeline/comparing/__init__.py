"""Models side by side on the same tissue: a file of choices, a cell for each, a leaderboard."""
