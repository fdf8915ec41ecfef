"""How far two sets of pictures, or of their vectors, lie apart: arrays in, numbers out."""
