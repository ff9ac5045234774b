"""The gate before the champion: named rules, the error that is spent over looks, and how the champion moves."""
