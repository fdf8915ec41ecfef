"""How far two sets of images, or of their vectors, lie apart: arrays in, numbers out."""
