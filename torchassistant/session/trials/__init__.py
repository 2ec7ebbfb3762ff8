"""Runs that answer a question: does it train, how fast, and does it resume in the same bits?"""
