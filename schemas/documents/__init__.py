"""What is generated from the contracts: schemas, AsyncAPI, examples, pages, compatibility."""
