"""What the API tells of records that other rooms write: read afresh, by one caller at a time."""
