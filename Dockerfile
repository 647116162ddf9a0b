# The one binary, static, on an image with nothing else in it.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o /out/tenantry ./cmd/tenantry

FROM gcr.io/distroless/static:nonroot
COPY --from=build /out/tenantry /tenantry
USER nonroot:nonroot
ENTRYPOINT ["/tenantry"]
