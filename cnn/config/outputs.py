"""Where the steps' files lie in a checkout, as dvc.yaml names them."""

from pathlib import Path

PREPARED = Path("data/prepared")
SEARCHED = Path("outputs/search")
WINNER = SEARCHED / "winner.yaml"
LEADERBOARD = SEARCHED / "leaderboard.csv"
TRAINED = Path("outputs/train")
EVALUATED = Path("outputs/evaluate")
