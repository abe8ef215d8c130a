"""What vision transformers look at: attention weights, rollouts, distances and position embeddings, as pictures."""
