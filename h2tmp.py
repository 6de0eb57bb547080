from sightglass.cli import main
for t in ("500","0","nan","x"):
    print(main(["batch","nothing","--tolerance",t]))
print(main(["detect","bus.jpg","--score-thr","5"]))
print(main(["image","bus.jpg","--top-k","0"]))
print(main(["image","bus.jpg","--opacity","7"]))
print(main(["batch","nothing","--maps","0"]))
from starlette.testclient import TestClient
from sightglass.api.app import create
c=TestClient(create())
for t in ("500","0","0.05","nan","x"):
    print(c.get("/api/runs/x",params={"tolerance":t}).text)
print(c.post("/api/detect",json={"confidence":7}).text)
