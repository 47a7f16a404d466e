"""How well queries are understood: labelled queries, and two ways to judge the service by them."""
