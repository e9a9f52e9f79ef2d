"""Refuted statements, one per file, each with an exact witness."""

if __name__ != "adamproof.counterexamples":
    raise ImportError("import adamproof.counterexamples, not the folder under another name")
