"""The model work: blocking, arrays in, arrays out. Knows neither asyncio nor HTTP nor Redis."""
