"""Style bundles: the file that carries a trained style to the appliance."""
