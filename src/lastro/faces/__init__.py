"""What people and programs touch. A face translates in and out, decides nothing, and knows no other face."""
