"""Parts of the dashboard that several pages share."""
