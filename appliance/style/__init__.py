"""Style bundles: the files that carry trained styles to the appliance."""
