"""The nouns that flow between stages: frozen values, arrays by reference."""
