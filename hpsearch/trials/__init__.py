"""What trials and studies carry in the storage: attributes, learning curves and slots."""
