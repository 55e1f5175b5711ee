"""Images, pretrained weights and training photographs: found, downloaded and verified."""
