// What Ollama's own parser and template packages make of Modelfiles: one JSON a line in, one a line out.
//
// Built in a checkout of Ollama, as a package of its own: go build -o PROGRAM ./asked
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"

	"github.com/ollama/ollama/api"
	"github.com/ollama/ollama/parser"
	"github.com/ollama/ollama/template"
)

type asked struct {
	Modelfile string          `json:"modelfile"`
	Prompts   [][]api.Message `json:"prompts"`
}

type said struct {
	Commands [][2]string `json:"commands"`
	Wrote    []string    `json:"wrote"`
	Error    string      `json:"error"`
}

func main() {
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for in.More() {
		var one asked
		if err := in.Decode(&one); err != nil {
			panic(err)
		}
		found, err := read(one)
		if err != nil {
			found.Error, found.Wrote = fmt.Sprint(err), nil
		}
		if err := out.Encode(found); err != nil {
			panic(err)
		}
	}
}

func read(one asked) (said, error) {
	var found said
	file, err := parser.ParseFile(bytes.NewReader([]byte(one.Modelfile)))
	if err != nil {
		return found, err
	}
	text := ""
	for _, command := range file.Commands {
		found.Commands = append(found.Commands, [2]string{command.Name, command.Args})
		if command.Name == "template" {
			text = command.Args
		}
	}
	parsed, err := template.Parse(text)
	if err != nil {
		return found, err
	}
	for _, messages := range one.Prompts {
		var wrote bytes.Buffer
		if err := parsed.Execute(&wrote, template.Values{Messages: messages}); err != nil {
			return found, err
		}
		found.Wrote = append(found.Wrote, wrote.String())
	}
	return found, nil
}
