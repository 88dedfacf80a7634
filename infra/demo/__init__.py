"""The main job shown on real input: photos in, searches and clicks, figures out."""
