"""The multimodal methods that MI2P is compared with in Tables 3 and 4."""
