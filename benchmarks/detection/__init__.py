"""The traffic lab: extraction attacks and honest users on the real proxy, and what detection makes of them."""
