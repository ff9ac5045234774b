"""Where the steps' files lie in a checkout, as dvc.yaml names them."""

from pathlib import Path

PREPARED = Path("data/prepared")
MANIFEST = "manifest.json"  # of the prepared images, whose hashes it holds
SEARCHED = Path("outputs/search")
WINNER = SEARCHED / "winner.yaml"
LEADERBOARD = SEARCHED / "leaderboard.csv"
TRAINED = Path("outputs/train")
EVALUATED = Path("outputs/evaluate")
