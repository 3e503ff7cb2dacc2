"""Frozen, validated parameters of each stage, named as the protocol names them."""
