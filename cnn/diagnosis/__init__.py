"""From learning curves to verdicts with evidence, and from verdicts to remedies."""
