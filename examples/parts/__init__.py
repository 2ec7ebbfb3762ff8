"""A classifier of exchangeable parts: backbone, neck, pooling, head."""
