"""What stands between a program and the host: image, bundle, runsc and how to start them."""
