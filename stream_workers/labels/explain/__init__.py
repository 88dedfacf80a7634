"""Why a shown image did or did not become part of a triple."""
