from app import create_app


def test_health_answers():
    answer = create_app().test_client().get("/health")
    assert answer.status_code == 200
    assert set(answer.json["services"]) == {"database", "scheduler"}


def test_version_answers():
    answer = create_app().test_client().get("/version")
    assert answer.status_code == 200
    assert answer.json["version"].startswith("v")
