"""Drawing for the notebooks: one file a topic, each function draws on axes that it is given."""
