"""Studies of beliefs that only data can judge, their runner and their store."""

if __name__ != "adamproof.experiments":
    raise ImportError("import adamproof.experiments, not the folder under another name")
