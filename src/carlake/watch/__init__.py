"""The service: `carlake watch` takes in what arrives, as it arrives."""
