"""What a training needs of its devices, before there are any."""
