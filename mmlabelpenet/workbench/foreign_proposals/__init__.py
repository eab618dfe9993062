"""Proposals made by other programs."""
