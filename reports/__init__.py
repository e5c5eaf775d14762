"""What is left behind: Allure configuration and the summary."""
